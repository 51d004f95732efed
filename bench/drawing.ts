import type { plot } from '@observablehq/plot';

type Drawing = ReturnType<typeof plot>;

/** Makes a drawing of Plot a part of a picture of several, with a title. */
export function toPart(drawing: Drawing, heading: string): Drawing {
  // It is for drawings in a page: here it would stretch each to the height of all.
  drawing.querySelector('style')?.remove();
  const title = drawing.ownerDocument.createElement('title');
  title.textContent = heading;
  drawing.prepend(title);
  drawing.setAttribute('fill', 'inherit');
  return drawing;
}
