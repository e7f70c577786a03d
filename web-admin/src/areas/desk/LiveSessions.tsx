import { Button, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, take, takeTrial } from '@/client/api';
import { useMay } from '@/client/me';
import { ConfirmDestroy } from '@/parts/ConfirmDestroy';
import { told } from '@/parts/notify';
import { t } from '@/text';
import { LIVE, LiveSessionsList } from './LiveSessionsList';

const words = t.desk.live;

/** Who is connected to an account's maildrop now. */
export function LiveSessions({ address }: { address: string }) {
  const may = useMay();
  const queries = useQueryClient();
  const [ending, setEnding] = useState(false);
  const path = { address };
  return (
    <>
      <LiveSessionsList
        of={address}
        prefix="live-"
        fetch={({ limit, cursor }) =>
          take(api.GET('/v1/accounts/{address}/live-sessions', { params: { path, query: { limit, cursor } } }))
        }
        actions={
          may('sessions:write') && (
            <Button size="xs" color="red" variant="outline" onClick={() => setEnding(true)}>
              {words.all}
            </Button>
          )
        }
      />
      <ConfirmDestroy
        opened={ending}
        onClose={() => setEnding(false)}
        title={words.allTitle(address)}
        verb={words.all}
        target={address}
        trial={() =>
          takeTrial(api.DELETE('/v1/accounts/{address}/live-sessions', { params: { path, query: { dry_run: true } } }))
        }
        act={async () => {
          const { sessions } = await take(api.DELETE('/v1/accounts/{address}/live-sessions', { params: { path } }));
          told(words.allDone(sessions));
        }}
        done={() => void queries.invalidateQueries({ queryKey: LIVE })}
      >
        <Text size="sm">{words.allDetail}</Text>
      </ConfirmDestroy>
    </>
  );
}
