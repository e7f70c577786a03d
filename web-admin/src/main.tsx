import './app/styles';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { queries } from './app/queries';
import { router } from './app/router';
import { colourScheme, styleNonce, theme } from './app/theme';
import { start } from './client/session';
import { language } from './text';

document.documentElement.lang = language;
// For the styles that keep the page behind a dialogue from scrolling.
setNonce(styleNonce());

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider
        theme={theme}
        defaultColorScheme="auto"
        colorSchemeManager={colourScheme}
        getStyleNonce={styleNonce}
      >
        <QueryClientProvider client={queries}>
          <Notifications position="bottom-right" />
          <RouterProvider router={router} />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}

function begin() {
  // Without an answer there is nothing to show: tried again until there is one.
  start().catch(() => setTimeout(begin, 2000));
}
begin();
