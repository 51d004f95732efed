import { AsyncLocalStorage } from 'node:async_hooks';

const logins = new AsyncLocalStorage<string>();

/** How the caller of what runs now has logged in: `key:ID`, or `jwt:ISSUER`. Undefined where nobody has to. */
export function currentLogin(): string | undefined {
  return logins.getStore();
}

/** Does the work of a caller. What it starts is the caller's as well, also after its answer. */
export function asLogin<T>(login: string | undefined, work: () => T): T {
  return login === undefined ? work() : logins.run(login, work);
}
