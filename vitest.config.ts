import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Differential tests start real tools; a loaded two-core machine needs patience, not a different result.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
