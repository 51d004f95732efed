import type { Duplex } from 'node:stream';

/** Headers in the order in which they are sent, with their names as they are written. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** What an answer is: one with a body, one without, or the change to another protocol. */
export type AnswerKind = 'body' | 'head' | 'upgrade';

/** Values of secrets for the requests of one owner to one host, and the means to keep them out of the answers. */
export interface Injection {
  /** Whether the request goes out without TLS, because the operator has said so for this host. */
  readonly isPlain: boolean;
  /** Port to connect to. */
  readonly port: number;
  /** Names of the secrets, for the audit. */
  readonly names: readonly string[];
  /**
   * Adds the secrets to a request, and removes what must not be asked for with them.
   * @param target path and query
   */
  apply(headers: HeaderList, target: string): { readonly headers: HeaderList; readonly target: string };
  /**
   * Takes the secrets out of an answer.
   * @returns its headers without secrets, and the stream that its body is to pass through
   * @throws InjectionFailure if its body has an encoding that cannot be read
   */
  scrub(headers: HeaderList, kind?: AnswerKind): { readonly headers: HeaderList; readonly body: Duplex };
  /** Takes the secrets out of a text, such as the status line of an answer or an error. */
  scrubText(text: string): string;
}

/** Where requests get a secret. */
export interface SecretAddress {
  /** Beginning of the address, as code writes it: `http://api.example.com`. */
  readonly address: string;
  readonly host: string;
  /** Port outside. */
  readonly port: number;
}

/** Knows which secrets belong to which hosts. */
export interface Injector {
  /**
   * Secrets for a host of an owner. Undefined if there are none.
   * @param port port that the code has written
   * @throws InjectionFailure if there are some that cannot be read
   */
  for(owner: string, host: string, port: number): Injection | undefined;
  /** Where requests of an owner get a secret. @throws InjectionFailure */
  addresses(owner: string): readonly SecretAddress[];
}

/** A request cannot be made with its secrets. The message is for code and people. */
export class InjectionFailure extends Error {
  override readonly name = 'InjectionFailure';
}
