import { expect, test } from 'vitest';
import { clusterImage } from './settings.ts';

test.each(['data', 'slim'])('the image %s, which no node can pull, is refused with how to build one', (image) => {
  const hint = `glovebox image --kubernetes --image ${image} --tag`;
  expect(() => clusterImage(image)).toThrow(
    expect.objectContaining({ code: 'engine_unavailable', hint: expect.stringContaining(hint) }),
  );
});

test('an image is taken by its whole reference', () => {
  const reference = 'registry.example:5000/team/glovebox-sandbox@sha256:0123';
  expect(clusterImage(reference)).toBe(reference);
});
