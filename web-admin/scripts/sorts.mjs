// Writes which orders each list of the API can be asked for: the values of its `sort` parameter, by path.
import { readFileSync, writeFileSync } from 'node:fs';

const document = JSON.parse(readFileSync('openapi.json', 'utf8'));
const named = (schema) =>
  schema?.$ref
    ? document.components.schemas[schema.$ref.split('/').at(-1)]
    : (schema?.oneOf?.map(named)?.find((one) => one?.enum) ?? schema);

const sorts = {};
for (const [path, operations] of Object.entries(document.paths)) {
  const sort = operations.get?.parameters?.find((parameter) => parameter.in === 'query' && parameter.name === 'sort');
  const values = named(sort?.schema)?.enum;
  if (values) sorts[path] = values.filter((value) => typeof value === 'string');
}
writeFileSync('src/client/sorts.json', `${JSON.stringify(sorts, null, 2)}\n`);
