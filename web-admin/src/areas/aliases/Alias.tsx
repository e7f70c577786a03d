import { Fieldset, Group, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useParams } from '@tanstack/react-router';
import { api, ifMatch, read, type Schemas, take, takeTrial } from '@/client/api';
import { useForm } from '@/client/form';
import { useMay } from '@/client/me';
import { DestroyButton } from '@/parts/DestroyButton';
import { FormFoot } from '@/parts/FormFoot';
import { LinesField } from '@/parts/fields';
import { Loading } from '@/parts/Loading';
import { TextLink } from '@/parts/links';
import { told } from '@/parts/notify';
import { PageHead } from '@/parts/PageHead';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { Facts, Section } from '@/parts/Section';
import { t } from '@/text';

const words = t.aliases;

function Inside({ alias, etag }: { alias: Schemas['Alias']; etag: string | undefined }) {
  const writes = useMay()('aliases:write');
  const queries = useQueryClient();
  const navigate = useNavigate();
  const params = { path: { address: alias.address }, header: ifMatch(etag) };
  const form = useForm<Schemas['AliasPatch']>({
    base: alias,
    send: (body) => take(api.PATCH('/v1/aliases/{address}', { params, body })),
    refresh: ['aliases'],
    done: () => told(t.common.saved),
  });
  return (
    <Stack>
      <Section title={words.one}>
        <Facts
          of={[
            [
              t.common.domain,
              <TextLink key="d" to="/domains/$name" params={{ name: alias.domain }} search={{ tenant: alias.tenant }}>
                {alias.domain}
              </TextLink>,
            ],
            [
              words.targets,
              <Stack key="t" gap={2} align="flex-start">
                {alias.targets.map((address) => (
                  <TextLink key={address} to="/accounts/$address" params={{ address }}>
                    {address}
                  </TextLink>
                ))}
              </Stack>,
            ],
          ]}
        />
      </Section>
      {writes && (
        <Section title={t.common.change}>
          <form onSubmit={form.submit}>
            <Fieldset variant="unstyled">
              <LinesField field={form.field('/targets')} label={words.targets} hint={words.targetsHint} rows={5} />
            </Fieldset>
            <FormFoot form={form} />
          </form>
        </Section>
      )}
      {writes && (
        <Section title={words.delete}>
          <Group>
            <DestroyButton
              title={words.deleteTitle}
              verb={t.common.delete}
              target={alias.address}
              trial={() =>
                takeTrial(api.DELETE('/v1/aliases/{address}', { params: { ...params, query: { dry_run: true } } }))
              }
              act={() => take(api.DELETE('/v1/aliases/{address}', { params }))}
              done={() => {
                told(words.deletedDone);
                void navigate({ to: '/aliases' }).then(() => queries.invalidateQueries({ queryKey: ['aliases'] }));
              }}
            >
              <Text size="sm">{words.deleteDetail}</Text>
            </DestroyButton>
          </Group>
        </Section>
      )}
    </Stack>
  );
}

export function Page() {
  const { address } = useParams({ from: '/in/aliases/$address' });
  const alias = useQuery({
    queryKey: ['aliases', address],
    queryFn: () => read(api.GET('/v1/aliases/{address}', { params: { path: { address } } })),
  });
  return (
    <>
      <PageHead
        title={address}
        trail={[
          <TextLink key="aliases" to="/aliases">
            {words.title}
          </TextLink>,
          address,
        ]}
      />
      {alias.isPending && <Loading />}
      <ProblemAlert error={alias.error} />
      {alias.data && <Inside alias={alias.data.value} etag={alias.data.etag} />}
    </>
  );
}
