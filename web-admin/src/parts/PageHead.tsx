import { Breadcrumbs, Group, Title } from '@mantine/core';
import { type ReactNode, useEffect, useRef } from 'react';
import { takeFocusWish } from '@/app/focus';
import { t } from '@/text';

interface Props {
  title: string;
  /** The links that lead here. */
  trail?: ReactNode[];
  /** Beside the title: a status. */
  badge?: ReactNode;
  actions?: ReactNode;
}

/** A page's heading: names the window, and takes the focus after a navigation so that it is read out. */
export function PageHead({ title, trail, badge, actions }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – ${t.shell.product}`;
  }, [title]);
  useEffect(() => {
    if (takeFocusWish()) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <header>
      {trail && trail.length > 0 && (
        <Breadcrumbs mb={4} fz="sm" component="nav" aria-label={t.common.details}>
          {trail}
        </Breadcrumbs>
      )}
      <Group justify="space-between" align="center" gap="sm" mb="md">
        <Group gap="sm" className="wrap">
          <Title order={1} size="h2" tabIndex={-1} ref={heading}>
            {title}
          </Title>
          {badge}
        </Group>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
    </header>
  );
}
