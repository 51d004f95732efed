/** Where the runner keeps the whole of a long output, from the workspace on; spilled_output.py says the same. */
export function outputPath(executionId: string, stream: 'stdout' | 'stderr' | 'display'): string {
  return `.glovebox/outputs/${executionId}.${stream}`;
}
