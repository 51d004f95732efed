/** Returns the path, relative to the workspace, where the runner keeps long output. spilled_output.py must agree. */
export function outputPath(executionId: string, stream: 'stdout' | 'stderr' | 'display'): string {
  return `.glovebox/outputs/${executionId}.${stream}`;
}
