import { z } from 'zod';

const labels = z.record(z.string(), z.string()).default({});
const text = z.string().optional();

const stateSchema = z.object({
  waiting: z.object({ reason: text, message: text }).optional(),
  running: z.object({}).optional(),
  terminated: z.object({ reason: text, message: text, exitCode: z.number().optional() }).optional(),
});

/** What is read of a pod. */
export const podSchema = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    labels,
    annotations: labels,
    deletionTimestamp: text,
    creationTimestamp: text,
    ownerReferences: z.array(z.unknown()).optional(),
  }),
  spec: z.object({ nodeName: text }),
  status: z
    .object({
      /** `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`. */
      phase: text,
      reason: text,
      message: text,
      conditions: z.array(z.object({ type: z.string(), status: z.string(), reason: text, message: text })).default([]),
      containerStatuses: z
        .array(z.object({ name: z.string(), ready: z.boolean(), state: stateSchema.default({}) }))
        .default([]),
    })
    .default({ conditions: [], containerStatuses: [] }),
});
export type PodState = z.infer<typeof podSchema>;

/** Path of the pods of a namespace, or of one of them. */
export function podPath(namespace: string, name?: string): string {
  const pods = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  return name === undefined ? pods : `${pods}/${encodeURIComponent(name)}`;
}
