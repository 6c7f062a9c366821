import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `npm run dev` asks a running server; QD_HTTP is its address and QD_TOKEN an API token for this development only
const server = `http://${process.env.QD_HTTP ?? '127.0.0.1:7461'}`;
const headers: Record<string, string> = process.env.QD_TOKEN ? { Authorization: `Bearer ${process.env.QD_TOKEN}` } : {};
const proxy = { target: server, headers, changeOrigin: true };

// many small files take longer to load than one
const groups = [{ name: 'icons', test: /@ant-design\/icons/ }];

export default defineConfig({
  base: '/ui/',
  plugins: [react()],
  build: {
    target: 'es2023',
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups } } },
  },
  server: { proxy: { '/api': proxy, '/healthz': proxy } },
});
