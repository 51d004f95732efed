import { runForks } from './floor-programs.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

/** A fork of an interpreter that is running already, and its `print(1)`, without anything around it. */
export async function measureForks({ floors, quick }: Setting): Promise<Row[]> {
  const container = await floors.createAndStart();
  try {
    const [took, used] = await runForks(floors, container, quick ? 100 : 500);
    const name = 'fork and print(1) of an interpreter in a sealed container';
    return [toRow(name, 'ms', took), toRow(`${name}: processor time`, 'ms', used)];
  } finally {
    await container.remove({ force: true });
  }
}
