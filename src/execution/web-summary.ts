import type { WebHostUse, WebRefusal } from '../egress/web-access.ts';

/** What an execution did on other hosts. */
export interface WebUse {
  readonly hosts: readonly WebHostUse[];
  readonly refused: readonly WebRefusal[];
}

/** Use of the web in the form that callers see, and that is kept on disk. */
export interface WebUseOnWire {
  hosts: { host: string; port: number; requests: number; bytes_in: number; bytes_out: number }[];
  refused: Pick<WebRefusal, 'host' | 'port' | 'rule' | 'message'>[];
}

export function toWire({ hosts, refused }: WebUse): WebUseOnWire {
  return {
    hosts: hosts.map(({ bytesIn, bytesOut, ...host }) => ({ ...host, bytes_in: bytesIn, bytes_out: bytesOut })),
    refused: refused.map(({ host, port, rule, message }) => ({ host, port, rule, message })),
  };
}

export function fromWire({ hosts, refused }: WebUseOnWire): WebUse {
  return {
    hosts: hosts.map(({ bytes_in, bytes_out, ...host }) => ({ ...host, bytesIn: bytes_in, bytesOut: bytes_out })),
    refused,
  };
}
