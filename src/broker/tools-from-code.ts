import type { Duplex } from 'node:stream';
import type { Registry } from 'prom-client';
import type { ToolAccess } from '../execution/tool-access.ts';
import type { Log } from '../log.ts';
import type { Broker, BrokerOptions } from './broker.ts';
import { serveDoor } from './door.ts';
import { type AskPerson, Grants } from './grants.ts';
import { ToolMetrics } from './tool-metrics.ts';

export interface ToolsOptions extends Omit<BrokerOptions, 'localOwner'> {
  /** Owner who may use all servers. Undefined where owners have keys. */
  readonly localOwner: string | undefined;
  readonly ask: AskPerson;
  readonly registry: Registry;
  /** What opens the broker. It is loaded only where there is a file of servers. */
  readonly openBroker: ((options: BrokerOptions) => Broker) | undefined;
}

/** No owner has this name. */
const NOBODY = '';

/** Tools that code may call, and the way to them. */
export class ToolsFromCode implements AsyncDisposable {
  /** Undefined if there are no servers. */
  readonly broker: Broker | undefined;
  readonly access: ToolAccess;
  readonly #grants: Grants;
  readonly #log: Log;

  /** @throws GloveboxError `invalid_input` that says what is wrong with the file of servers */
  constructor({ registry, ask, openBroker, ...options }: ToolsOptions) {
    const { localOwner = NOBODY, log } = options;
    this.broker = openBroker?.({ ...options, localOwner });
    this.#grants = new Grants({ broker: this.broker, ask, metrics: new ToolMetrics(registry), log });
    this.access = this.#grants;
    this.#log = log;
  }

  /** Serves a connection that code of a session has made. */
  connect(stream: Duplex, { owner, id }: { readonly owner: string; readonly id: string }): void {
    serveDoor(stream, { session: { owner, id }, grants: this.#grants, log: this.#log });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.broker?.[Symbol.asyncDispose]();
  }
}
