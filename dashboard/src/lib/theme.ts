import { signal } from '@preact/signals';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const STORED = 'glovebox.theme';

export const theme = signal<Theme>(THEMES.find((known) => known === sessionStorage.getItem(STORED)) ?? 'system');

theme.subscribe((value) => {
  sessionStorage.setItem(STORED, value);
  const { dataset } = document.documentElement;
  if (value === 'system') delete dataset['theme'];
  else dataset['theme'] = value;
});
