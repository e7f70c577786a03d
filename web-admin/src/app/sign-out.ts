import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { asProblem } from '@/client/problem';
import { signOut } from '@/client/session';
import { told } from '@/parts/notify';
import { t } from '@/text';

/** Ends this sign-in, or all that the person has, and forgets what was read. */
export function useSignOut() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  return async (everywhere: boolean) => {
    try {
      await signOut(everywhere);
      queries.clear();
      await navigate({ to: '/sign-in' });
    } catch (error) {
      told(asProblem(error).title || t.common.problem.unreachable);
    }
  };
}
