import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// `npm run dev` passes what belongs to the API on to a running service: RESTANTE_ADMIN=http://127.0.0.1:8080.
const service = process.env.RESTANTE_ADMIN ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    target: 'es2022',
    // Inlined files would be data: addresses, which the policy does not allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { '/v1': service, '/problems': service, '/docs': service } },
  test: { environment: 'happy-dom', include: ['src/**/*.test.{ts,tsx}'] },
});
