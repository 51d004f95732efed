import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Writes each file of `page/` compressed as well, so that the server compresses nothing. */
function compress(): Plugin {
  let folder = '';
  return {
    name: 'compress',
    apply: 'build',
    configResolved: ({ root, build }) => {
      folder = join(root.startsWith(build.outDir) || build.outDir.startsWith('/') ? '' : root, build.outDir, 'page');
    },
    closeBundle: () => {
      for (const name of readdirSync(folder)) {
        if (name.endsWith('.gz')) continue;
        const content = readFileSync(join(folder, name));
        writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  // Relative, so that the page works below a path of a proxy.
  base: './',
  html: { cspNonce: '__NONCE__' },
  build: {
    assetsDir: 'page',
    target: 'es2022',
    // The polyfill would be one more script. Every browser that has the rest has it.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    emptyOutDir: true,
    license: { fileName: 'page/licenses.md' },
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [compress()],
});
