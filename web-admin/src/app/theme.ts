import { createTheme, localStorageColorSchemeManager, Modal, Notification } from '@mantine/core';
import { t } from '@/text';

// The shades are chosen for contrast: text in the primary colour has 4.5 to 1 and more on both grounds.
export const theme = createTheme({
  primaryColor: 'blue',
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: '650' },
  defaultRadius: 'md',
  components: {
    Modal: Modal.extend({
      // A dialogue's head is no banner of the page.
      defaultProps: {
        closeButtonProps: { 'aria-label': t.common.close },
        attributes: { header: { role: 'presentation' } },
      },
    }),
    Notification: Notification.extend({ defaultProps: { closeButtonProps: { 'aria-label': t.common.close } } }),
  },
});

export const colourScheme = localStorageColorSchemeManager({ key: 'restante.colours' });

/** The nonce that the service has put into the page: the only styles that its policy lets be made at run time. */
export const styleNonce = () => document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? '';
