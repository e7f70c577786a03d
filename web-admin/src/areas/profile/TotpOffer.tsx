import { Code, Group, Stack, Text } from '@mantine/core';
import { renderSVG } from 'uqr';
import { api, type Schemas, take } from '@/client/api';
import { useForm } from '@/client/form';
import { CopyButton } from '@/parts/CopyButton';
import { FormFoot } from '@/parts/FormFoot';
import { TextField } from '@/parts/fields';
import { t } from '@/text';

const words = t.profile;

interface Props {
  offer: Schemas['TotpOffered'];
  done: (codes: Schemas['RecoveryCodes']) => void;
}

/** The secret as a code to scan, drawn here: it goes nowhere. Then a first code of it, which puts it into force. */
export default function TotpOffer({ offer, done }: Props) {
  const form = useForm<Schemas['TotpConfirm']>({
    send: async (body) => done(await take(api.PUT('/v1/me/totp', { body }))),
  });
  return (
    <form onSubmit={form.submit}>
      <Stack gap="sm">
        <Text size="sm">{words.totpScan}</Text>
        {offer.otpauth_uri && (
          <div
            className="qr"
            role="img"
            aria-label={words.totpQr}
            // biome-ignore lint/security/noDangerouslySetInnerHtml: an SVG made here of squares
            dangerouslySetInnerHTML={{ __html: renderSVG(offer.otpauth_uri, { border: 2 }) }}
          />
        )}
        <Group gap="xs">
          <Code className="wrap">{offer.secret}</Code>
          <CopyButton text={offer.secret ?? ''} of={words.totpSecret} />
        </Group>
        <TextField
          field={form.field('/code')}
          label={words.totpCode}
          required
          inputMode="numeric"
          autoComplete="one-time-code"
        />
      </Stack>
      <FormFoot form={form} label={words.totpConfirm} />
    </form>
  );
}
