import { Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { type FormEvent, useRef, useState } from 'react';
import { asProblem, type Problem } from '@/client/problem';
import { signIn } from '@/client/session';
import { t } from '@/text';
import { Refusal } from './Refusal';

interface Props {
  /** Whose sign-in has ended; they cannot become somebody else here. */
  name?: string;
  done: () => void;
}

const words = t.signIn;

/** Name, password and code. Which of them was wrong is not told, so all are always there. */
export function Credentials({ name: fixed, done }: Props) {
  const [name, setName] = useState(fixed ?? '');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [recovery, setRecovery] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const passwordInput = useRef<HTMLInputElement>(null);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    const proof =
      code.trim() === '' ? {} : recovery ? { recovery_code: code.trim() } : { totp: code.replaceAll(' ', '') };
    try {
      await signIn({ name: name.trim(), password, ...proof });
      done();
    } catch (error) {
      setProblem(asProblem(error));
      setCode('');
      passwordInput.current?.select();
      passwordInput.current?.focus();
    } finally {
      setBusy(false);
    }
  };

  return (
    <form onSubmit={submit}>
      <Stack>
        <TextInput
          label={words.name}
          description={words.nameHint}
          name="name"
          value={name}
          readOnly={fixed !== undefined}
          onChange={(event) => setName(event.currentTarget.value)}
          autoComplete="username"
          inputMode="email"
          autoCapitalize="none"
          spellCheck={false}
          required
          data-autofocus={fixed === undefined ? true : undefined}
        />
        <PasswordInput
          label={words.password}
          name="password"
          value={password}
          ref={passwordInput}
          onChange={(event) => setPassword(event.currentTarget.value)}
          autoComplete="current-password"
          required
          data-autofocus={fixed === undefined ? undefined : true}
        />
        <div>
          <TextInput
            label={recovery ? words.recoveryCode : words.code}
            description={recovery ? words.recoveryHint : words.codeHint}
            name={recovery ? 'recovery-code' : 'code'}
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
            autoComplete={recovery ? 'off' : 'one-time-code'}
            inputMode={recovery ? 'text' : 'numeric'}
            autoCapitalize="none"
            spellCheck={false}
          />
          <Anchor component="button" type="button" size="sm" mt={4} onClick={() => setRecovery(!recovery)}>
            {recovery ? words.useCode : words.useRecovery}
          </Anchor>
        </div>
        <Refusal problem={problem} />
        <Button type="submit" loading={busy}>
          {words.submit}
        </Button>
      </Stack>
    </form>
  );
}
