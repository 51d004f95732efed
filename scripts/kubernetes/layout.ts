import { join } from 'node:path';

/** Names of the nodes of a lab. */
export const NODES = ['node1', 'node2'] as const;
export type NodeName = (typeof NODES)[number];

/** Where things of a lab are, and what they are called: all that is outside of its folder bears its number. */
export class Layout {
  readonly folder: string;
  readonly number: number;

  constructor(folder: string, number: number) {
    this.folder = folder;
    this.number = number;
  }

  /** Address of this machine in the network of the nodes. */
  get hostAddress(): string {
    return `10.111.${this.number}.1`;
  }

  /** Addresses of services, of which the API server is the first: pods find it there without any proxy. */
  get serviceRange(): string {
    return `10.112.${this.number}.0/24`;
  }

  get apiAddress(): string {
    return `10.112.${this.number}.1`;
  }

  get apiUrl(): string {
    return `https://${this.apiAddress}`;
  }

  get etcdUrl(): string {
    return `http://${this.hostAddress}:2379`;
  }

  get bridge(): string {
    return `gbk${this.number}`;
  }

  nodeAddress(node: NodeName): string {
    return `10.111.${this.number}.${11 + NODES.indexOf(node)}`;
  }

  /** Name of a node's network namespace and of its control groups. */
  nodeId(node: NodeName): string {
    return `gbk${this.number}-${node}`;
  }

  /** The end of a node's line that is in the network of this machine. */
  line(node: NodeName): string {
    return `gbk${this.number}n${1 + NODES.indexOf(node)}`;
  }

  nodeFolder(node: NodeName): string {
    return join(this.folder, node);
  }

  socket(node: NodeName): string {
    return join(this.nodeFolder(node), 'containerd.sock');
  }

  certificate(name: string): string {
    return join(this.folder, 'pki', `${name}.crt`);
  }

  key(name: string): string {
    return join(this.folder, 'pki', `${name}.key`);
  }

  kubeconfig(name: string): string {
    return join(this.folder, `${name}.kubeconfig`);
  }

  log(name: string): string {
    return join(this.folder, `${name}.log`);
  }
}
