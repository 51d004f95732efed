import { approverKey, forgetApproverKey } from './approver-key.ts';
import { call } from './client.ts';
import { ApiError } from './error.ts';
import type { Approval, Decision } from './types.ts';

/** Lists the questions that wait. @throws ApiError as `call` does */
export async function listApprovals(signal: AbortSignal): Promise<readonly Approval[]> {
  return (await ask<{ approvals: Approval[] }>('/approvals', { signal })).approvals;
}

/** @throws ApiError as `call` does; `approval_over` if somebody else was faster */
export async function answerApproval(id: string, answer: Decision): Promise<void> {
  await ask(`/approvals/${encodeURIComponent(id)}`, { method: 'POST', body: { answer } });
}

/** Calls with the key that may answer. If it is none, it is forgotten. */
async function ask<T>(path: string, options: Parameters<typeof call>[1]): Promise<T> {
  const key = approverKey.value;
  try {
    return await call<T>(path, { ...options, key });
  } catch (error) {
    const isRefused = error instanceof ApiError && (error.status === 401 || error.status === 403);
    if (isRefused && key === approverKey.value) {
      forgetApproverKey(
        'This key may answer no questions: it is wrong, has expired, was revoked, or is one that runs code.',
      );
    }
    throw error;
  }
}
