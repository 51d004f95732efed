import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBrokenLinks, fragmentsOf } from './check-links.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'glovebox-links-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

test('a link that leads nowhere, or to what the site has no page for, is found, however it is written; examples and links outside are left alone', () => {
  write(
    'docs/there.md',
    '# There\n\n## Twice\n\n## `code` of [a link](there.md)\n\n## Twice\n\n<a id="by-hand"></a>\n',
  );
  write('docs/a picture.png', '');
  write('docs/main.go', '');
  write(
    'README.md',
    [
      '[page](docs/there.md) [heading](docs/there.md#twice) [second](docs/there.md#twice-1) [id](docs/there.md#by-hand)',
      '[`code`](docs/there.md#code-of-a-link) ![picture](docs/a%20picture.png "title")',
      '[outside](https://example.com/none) [mail](mailto:a@example.com) [own](#own)',
      '# Own',
      '`[code](none.md)`',
      '```',
      '[example](none.md)',
      '# Not a heading',
      '```',
      '[file](docs/none.md) [fragment](docs/there.md#none) [third](docs/there.md#twice-2) [here](#not-a-heading)',
      '[folder](docs/) [program](docs/main.go) [above](../none.md) [named] <img alt="x" src="docs/none.png">',
      '',
      '[named]: docs/none.txt',
    ].join('\n'),
  );
  expect(findBrokenLinks(root).map(({ link }) => link)).toEqual([
    'docs/none.md',
    'docs/there.md#none',
    'docs/there.md#twice-2',
    '#not-a-heading',
    'docs/',
    'docs/main.go',
    '../none.md',
    'docs/none.txt',
    'docs/none.png',
  ]);
});

test('fragments are those that code hosts make', () => {
  expect([...fragmentsOf('# What "it" is: `GET /a_b`, é & more\n## A\n## A\n## A-1\n')]).toEqual([
    'what-it-is-get-a_b-é--more',
    'a',
    'a-1',
    'a-1-1',
  ]);
});
