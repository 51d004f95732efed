/** Where the runner keeps the whole of a long output, from the workspace on; kept.py says the same. */
export function keptPath(executionId: string, stream: 'stdout' | 'stderr'): string {
  return `.glovebox/outputs/${executionId}.${stream}`;
}
