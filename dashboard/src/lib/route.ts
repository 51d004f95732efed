import { signal } from '@preact/signals';

export const VIEWS = ['playground', 'terminals', 'sessions', 'executions', 'approvals', 'overview'] as const;
export type View = (typeof VIEWS)[number];

export interface Place {
  readonly view: View;
  /** Session of the playground, or of the terminals. */
  readonly session?: string;
}

function readPlace(): Place {
  const [, name = '', session = ''] = location.hash.split('/');
  const view = VIEWS.find((known) => known === name) ?? 'playground';
  return /^[A-Za-z0-9_-]{1,64}$/.test(session) ? { view, session } : { view };
}

/** The place that the address names. All of it is in the fragment, which no server gets to see. */
export const place = signal(readPlace());

/** Session of the playground, also while another view is shown. */
export const lastSession = signal(place.value.session);

addEventListener('hashchange', () => {
  place.value = readPlace();
  if (place.value.view === 'playground') lastSession.value = place.value.session;
});

export function linkTo(view: View, session?: string): string {
  return session === undefined ? `#/${view}` : `#/${view}/${session}`;
}

export function goTo(view: View, session?: string): void {
  location.hash = linkTo(view, session);
}
