import { Button, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { api, ifMatch, type Schemas, take, takeTrial, type Versioned } from '@/client/api';
import { DestroyButton } from '@/parts/DestroyButton';
import { told } from '@/parts/notify';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';

const words = t.admins;

/** What takes somebody's access away, or gives it back. */
export function AdminActions({ got: { value: admin, etag } }: { got: Versioned<Schemas['Admin']> }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const params = { path: { id: admin.id }, header: ifMatch(etag) };
  const trial = { ...params, query: { dry_run: true } };
  const done = async (message: string) => {
    told(message);
    await Promise.all(['admins', 'sessions'].map((key) => queries.invalidateQueries({ queryKey: [key] })));
  };
  const resume = useMutation({
    mutationFn: () => take(api.PATCH('/v1/admins/{id}', { params, body: { status: 'active' } })),
    onSuccess: () => done(words.resumed),
    onError: () => queries.invalidateQueries({ queryKey: ['admins'] }),
  });
  return (
    <>
      {admin.status === 'active' ? (
        <DestroyButton
          verb={words.suspend}
          title={words.suspendTitle(admin.name)}
          target={admin.name}
          trial={() => takeTrial(api.PATCH('/v1/admins/{id}', { params: trial, body: { status: 'suspended' } }))}
          act={() => take(api.PATCH('/v1/admins/{id}', { params, body: { status: 'suspended' } }))}
          done={() => done(words.suspended)}
        >
          <Text>{words.suspendDetail}</Text>
        </DestroyButton>
      ) : (
        <Button variant="default" loading={resume.isPending} onClick={() => resume.mutate()}>
          {words.resume}
        </Button>
      )}
      {admin.has_totp && (
        <DestroyButton
          verb={words.totp}
          title={words.totpTitle(admin.name)}
          target={admin.name}
          trial={() => takeTrial(api.DELETE('/v1/admins/{id}/totp', { params: trial }))}
          act={() => take(api.DELETE('/v1/admins/{id}/totp', { params }))}
          done={() => done(words.totpDone)}
        >
          <Text>{words.totpDetail}</Text>
        </DestroyButton>
      )}
      <DestroyButton
        verb={t.common.delete}
        title={words.deleteTitle(admin.name)}
        target={admin.name}
        trial={() => takeTrial(api.DELETE('/v1/admins/{id}', { params: trial }))}
        act={() => take(api.DELETE('/v1/admins/{id}', { params }))}
        done={async () => {
          await navigate({ to: '/admins' });
          queries.removeQueries({ queryKey: ['admins', admin.id] });
          await done(words.deleted);
        }}
      >
        <Text>{words.deleteDetail}</Text>
      </DestroyButton>
      <ProblemAlert error={resume.error} />
    </>
  );
}
