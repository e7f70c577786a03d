import { Modal, Text, TextInput, VisuallyHidden } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { type KeyboardEvent, useEffect, useId, useState } from 'react';
import { api, type Schemas, take } from '@/client/api';
import { useMay, useMe } from '@/client/me';
import { Icon, type IconName } from '@/parts/Icon';
import { ProblemAlert } from '@/parts/ProblemAlert';
import { t } from '@/text';
import { navFor } from './nav-entries';
import styles from './Palette.module.css';

interface Entry {
  group: string;
  label: string;
  detail?: string;
  icon: IconName;
  to: string;
}

type Found = Schemas['Found'];

const kinds: Record<Found['kind'], { icon: IconName; path: string }> = {
  tenant: { icon: 'building', path: '/tenants/' },
  domain: { icon: 'globe', path: '/domains/' },
  account: { icon: 'mailbox', path: '/accounts/' },
  alias: { icon: 'fork', path: '/aliases/' },
};

// What a path keeps as it is; a name may hold anything else.
const encode = (key: string) => encodeURIComponent(key).replaceAll('%40', '@');

function entryOf({ kind, key, tenant }: Found): Entry {
  const { icon, path } = kinds[kind];
  return {
    group: t.shell.kinds[kind],
    label: key,
    detail: kind === 'tenant' ? undefined : tenant,
    icon,
    to: path + encode(key),
  };
}

/** Search from anywhere: everything that begins with what is typed, and the pages of the console. */
export default function Palette({ onClose }: { onClose: () => void }) {
  const me = useMe();
  const may = useMay();
  const router = useRouter();
  const id = useId();
  const [typed, setTyped] = useState('');
  const [chosen, setChosen] = useState(0);
  const [asked] = useDebouncedValue(typed.trim(), 120);
  const found = useQuery({
    queryKey: ['search', asked],
    queryFn: () => take(api.GET('/v1/search', { params: { query: { q: asked } } })),
    enabled: asked !== '' && may('accounts:read'),
    placeholderData: keepPreviousData,
  });

  const words = typed.trim().toLowerCase();
  const pages: Entry[] = [...navFor(me), { to: '/profile', label: t.shell.profile, icon: 'person' as IconName }]
    .filter(({ label }) => label.toLowerCase().includes(words))
    .map(({ to, label, icon }) => ({ group: t.shell.searchPages, label, icon, to }));
  const entries = [...(words === '' ? [] : (found.data?.items ?? []).map(entryOf)), ...pages];
  const current = Math.min(chosen, entries.length - 1);

  // biome-ignore lint/correctness/useExhaustiveDependencies: other entries, another choice
  useEffect(() => setChosen(0), [asked]);
  useEffect(() => {
    document.getElementById(`${id}-${current}`)?.scrollIntoView({ block: 'nearest' });
  }, [id, current]);

  const open = (entry: Entry | undefined) => {
    if (!entry) return;
    onClose();
    void router.navigate({ href: entry.to });
  };

  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setChosen((current + step + entries.length) % Math.max(1, entries.length));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      open(entries[current]);
    }
  };

  return (
    <Modal
      opened
      onClose={onClose}
      withCloseButton={false}
      padding="xs"
      yOffset="10vh"
      size="lg"
      attributes={{ content: { 'aria-label': t.shell.search } }}
    >
      <TextInput
        role="combobox"
        aria-expanded
        aria-controls={id}
        aria-activedescendant={entries.length ? `${id}-${current}` : undefined}
        aria-label={t.shell.search}
        placeholder={t.shell.searchHint}
        leftSection={<Icon name="search" />}
        size="md"
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
        onKeyDown={press}
        autoComplete="off"
        spellCheck={false}
        data-autofocus
      />
      {found.isError && <ProblemAlert error={found.error} />}
      <div id={id} role="listbox" aria-label={t.shell.searchResults} className={styles.list}>
        {entries.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the combobox
          // biome-ignore lint/a11y/useFocusableInteractive: the focus stays in the combobox
          <div
            key={`${entry.group} ${entry.to} ${entry.detail}`}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === current}
            className={styles.entry}
            onClick={() => open(entry)}
            onMouseMove={() => setChosen(index)}
          >
            <Icon name={entry.icon} />
            <span className="wrap">{entry.label}</span>
            <Text span size="xs" c="dimmed" className={styles.group}>
              {[entry.group, entry.detail].filter(Boolean).join(' · ')}
            </Text>
          </div>
        ))}
      </div>
      {entries.length === 0 && !found.isFetching && (
        <Text p="sm" size="sm">
          {t.shell.searchNothing}
        </Text>
      )}
      <Text size="xs" c="dimmed" px="xs" pt="xs">
        {t.shell.searchKeys}
      </Text>
      <VisuallyHidden role="status">{entries.length}</VisuallyHidden>
    </Modal>
  );
}
