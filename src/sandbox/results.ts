export type RichResult = Record<string, unknown>;
export class ResultCollector {
  readonly results: RichResult[] = [];
  constructor(_budget: { limit: number; total: number }) {}
  add(_chunk: Buffer): RichResult[] {
    return [];
  }
}
