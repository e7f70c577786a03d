import { Button, Group, Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { ME } from '@/client/me';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { Loading } from '@/parts/Loading';
import { SecretOnce } from '@/parts/SecretOnce';
import { Section } from '@/parts/Section';
import { t } from '@/text';

const TotpOffer = lazy(() => import('./TotpOffer'));

const words = t.profile;

type Doing = 'setting-up' | 'removing' | 'renewing';
type Offer = Schemas['TotpOffered'];

export function Totp({ on }: { on: boolean }) {
  const queries = useQueryClient();
  const [doing, setDoing] = useState<Doing | null>(null);
  const [offer, setOffer] = useState<Offer | null>(null);
  const [codes, setCodes] = useState<Schemas['RecoveryCodes'] | null>(null);
  const stop = () => {
    setDoing(null);
    setOffer(null);
  };
  const form = useForm<Schemas['OwnPassword']>({
    send: async (body) => {
      if (doing === 'removing') {
        await take(api.POST('/v1/me/totp/remove', { body }));
        await queries.invalidateQueries({ queryKey: ME });
        stop();
      } else if (doing === 'renewing') {
        setCodes(await take(api.POST('/v1/me/totp/recovery-codes', { body })));
        stop();
      } else {
        setOffer(await take(api.POST('/v1/me/totp', { body })));
      }
    },
  });
  const label = doing === 'removing' ? words.totpRemove : doing === 'renewing' ? words.recoveryNew : words.totpStart;

  return (
    <Section title={words.totp}>
      <Stack gap="sm">
        <Text>{on ? words.totpOn : words.totpOff}</Text>
        {doing === null && (
          <Group gap="xs">
            {on ? (
              <>
                <Button variant="default" onClick={() => setDoing('renewing')}>
                  {words.recoveryNew}
                </Button>
                <Button variant="default" onClick={() => setDoing('removing')}>
                  {words.totpRemove}
                </Button>
              </>
            ) : (
              <Button variant="default" onClick={() => setDoing('setting-up')}>
                {words.totpSetUp}
              </Button>
            )}
          </Group>
        )}
        {doing !== null && offer === null && (
          <form onSubmit={form.submit}>
            {doing === 'renewing' && <Text size="sm">{words.recoveryDetail}</Text>}
            <TextField
              field={form.field('/password')}
              label={words.totpPassword}
              password
              required
              autoComplete="current-password"
            />
            <FormFoot form={form} label={label} />
          </form>
        )}
        {offer && (
          <Suspense fallback={<Loading />}>
            <TotpOffer
              offer={offer}
              done={(made) => {
                setCodes(made);
                stop();
                void queries.invalidateQueries({ queryKey: ME });
              }}
            />
          </Suspense>
        )}
        {doing !== null && (
          <div>
            <Button variant="subtle" size="xs" onClick={stop}>
              {t.common.cancel}
            </Button>
          </div>
        )}
      </Stack>
      <SecretOnce
        title={words.recovery}
        label={words.recovery}
        fileName="restante-recovery-codes.txt"
        shown={codes && { secret: codes.recovery_codes?.join('\n') }}
        onClose={() => setCodes(null)}
      >
        <Text size="sm">{words.recoveryDetail}</Text>
      </SecretOnce>
    </Section>
  );
}
