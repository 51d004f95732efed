import { z } from 'zod';
import { about, list, number, text, whole } from './value-types.ts';

const LABEL_NAME = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
/** Key of a label or a taint, with the DNS name that may stand before it. */
const LABEL_KEY = `([a-z0-9][-a-z0-9.]{0,252}/)?${LABEL_NAME}`;
const SELECTOR = new RegExp(`^${LABEL_KEY}=(${LABEL_NAME})?$`);
const TOLERATION = new RegExp(`^${LABEL_KEY}(=(${LABEL_NAME})?)?:(NoSchedule|PreferNoSchedule|NoExecute)$`);
/** Name of an object that is also a label of DNS. */
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9][-a-z0-9.]{0,251}[a-z0-9]$/;
/** Relative path below the folder of the node's seccomp profiles. */
const PROFILE_PATH = /^(?!\/)(?!(.*\/)?\.\.?(\/|$))[\w./-]+$/;

/** Settings of sandboxes in a Kubernetes cluster. The other engines have no use for them. */
export const kubernetes = {
  kubernetes_context: about(
    text.optional(),
    'Context of the kubeconfig that names the cluster.',
    'production',
    'the current context; in a pod, the cluster that the pod is in',
  ),
  kubernetes_namespace: about(
    z.string().regex(DNS_LABEL, 'not the name of a namespace').optional(),
    'Namespace of the sandboxes. Nothing else should run there.',
    'glovebox-sandboxes',
    "the context's; in a pod, the pod's own",
  ),
  kubernetes_node_selector: about(
    list
      .refine((items) => items.every((item) => SELECTOR.test(item)), { message: 'not key=value, separated by commas' })
      .default([]),
    'Labels of the nodes that sandboxes may run on, as "key=value".',
    'example.com/pool=sandboxes',
  ),
  kubernetes_tolerations: about(
    list
      .refine((items) => items.every((item) => TOLERATION.test(item)), {
        message: 'not key=value:Effect or key:Effect, separated by commas',
      })
      .default([]),
    'Taints of nodes that sandboxes tolerate, as "key=value:Effect", or "key:Effect" for any value.',
    'example.com/pool=sandboxes:NoSchedule',
  ),
  kubernetes_cpu_request: about(
    number.min(0.001).max(1024).optional(),
    'Processors that the scheduler reserves for one sandbox. It may use up to cpus.',
    '0.25',
    'a tenth of cpus',
  ),
  kubernetes_memory_request_mb: about(
    whole(1, 1_048_576).optional(),
    'Memory in MiB that the scheduler reserves for one sandbox. It may use up to memory_mb. A node on which sandboxes together use more than it has evicts some of them.',
    '256',
    'a quarter of memory_mb',
  ),
  kubernetes_pull_secret: about(
    z.string().regex(DNS_NAME, 'not the name of a secret').optional(),
    'Secret in the namespace of the sandboxes with the credentials of the registry of their image.',
    'registry-credentials',
    'none is used',
  ),
  kubernetes_seccomp: about(
    z.string().regex(PROFILE_PATH, 'not a relative path').default('runtime'),
    'Filter of system calls: "runtime" is the default of the container runtime, with that of Glovebox on top; anything else is a file below the folder of seccomp profiles of each node, such as what "glovebox image --seccomp" prints.',
    'glovebox.json',
  ),
  kubernetes_user_namespaces: about(
    whole(0, 1).default(0),
    'Whether each sandbox has a user namespace of its own (1). It needs a container runtime that supports it, such as containerd 2.',
    '1',
  ),
  kubernetes_node_lost_s: about(
    whole(10, 86_400).default(60),
    'Seconds that a node may be not ready before its sandboxes count as lost.',
    '300',
  ),
};
