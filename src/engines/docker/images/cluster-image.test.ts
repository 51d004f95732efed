import { expect, test } from 'vitest';
import { explainNoCompiler, splitTag } from './cluster-image.ts';

test.each([
  ['glovebox-sandbox', 'glovebox-sandbox', 'latest'],
  ['glovebox-sandbox:1.0', 'glovebox-sandbox', '1.0'],
  ['localhost:5000/box', 'localhost:5000/box', 'latest'],
  ['registry.example:5000/team/box:v1_2', 'registry.example:5000/team/box', 'v1_2'],
])('%s is the repository %s and the tag %s', (reference, repo, tag) => {
  expect(splitTag(reference)).toEqual({ repo, tag });
});

test('a base in which nothing can be compiled is told with its reason, and any other failure as it is', () => {
  const output = 'Step 8/14\n\nWITHOUT TOOLS: the base image has no apt\n';
  expect(explainNoCompiler('alpine', output)).toMatchObject({
    code: 'engine_unavailable',
    message: 'The main process of pods cannot be compiled in alpine: the base image has no apt.',
    hint: expect.stringContaining('libseccomp-dev'),
  });
  expect(explainNoCompiler('debian', 'hold.c:1: error')).toBeUndefined();
});
