import { Alert, Divider, Group, Stack } from '@mantine/core';
import { Navigate, useNavigate } from '@tanstack/react-router';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { useAddress } from '@/app/search';
import { asProblem, type Problem } from '@/client/problem';
import { session, signInByCode } from '@/client/session';
import { Icon } from '@/parts/Icon';
import { Loading } from '@/parts/Loading';
import { PageHead } from '@/parts/PageHead';
import { t } from '@/text';
import { Credentials } from './Credentials';
import { Organisation } from './Organisation';
import { keepPlace, placeAfter, placeIn } from './place';
import { Refusal } from './Refusal';

type Reason = keyof typeof t.signIn.errors;

/** What an issuer sent the browser back with: a code, or why not. It is taken out of the address at once. */
const returned = (() => {
  const hash = new URLSearchParams(location.hash.slice(1));
  const code = hash.get('code');
  const error = hash.get('error');
  if (code || error) history.replaceState(history.state, '', location.pathname + location.search);
  return { code, error };
})();

export function SignIn() {
  const state = useSyncExternalStore(session.watch, session.state);
  const [search, setSearch] = useAddress();
  const navigate = useNavigate();
  const [code, setCode] = useState(returned.code);
  const [problem, setProblem] = useState<Problem | null>(null);
  const goal = placeIn(search.to);

  useEffect(() => {
    if (!code) return;
    returned.code = null;
    signInByCode(code)
      .then(() => navigate({ href: placeAfter(), replace: true }))
      .catch((error) => setProblem(asProblem(error)))
      .finally(() => setCode(null));
  }, [code, navigate]);

  if (code) return <Loading />;
  if (state === 'in') return <Navigate to={goal as '/'} replace />;
  const reason = returned.error && returned.error in t.signIn.errors ? (returned.error as Reason) : undefined;

  return (
    <main className="sign-in">
      <div className="panel">
        <Stack>
          <Group gap="sm">
            <img src="/icon.svg" width={32} height={32} alt="" />
            <strong>{t.shell.product}</strong>
          </Group>
          <PageHead title={t.signIn.title} />
          {reason && <Alert color="red" role="alert" icon={<Icon name="warning" />} title={t.signIn.errors[reason]} />}
          <Refusal problem={problem} />
          <Credentials done={() => navigate({ href: goal, replace: true })} />
          <Divider label={t.signIn.or} />
          <Organisation
            tenant={search.tenant}
            choose={(tenant) => setSearch({ tenant })}
            leave={() => keepPlace(goal)}
          />
        </Stack>
      </div>
    </main>
  );
}
