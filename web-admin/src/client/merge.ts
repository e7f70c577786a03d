const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value with a merge patch applied (RFC 7396), but that null stays: for what is sent whole. */
export function merged(base: unknown, patch: unknown): unknown {
  if (!isObject(base) || !isObject(patch)) return patch;
  const whole: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(patch)) whole[name] = merged(whole[name], value);
  return whole;
}
