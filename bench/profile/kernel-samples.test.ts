import { expect, test } from 'vitest';
import { kindOf, parseRecording, rolesBelow } from './kernel-samples.ts';

/** As `perf script` printed it, shortened. */
const SCRIPT = `python3 14048/14048 22973.320846: PERF_RECORD_FORK(14362:14362):(14048:14048)
python3 14362/14362 22973.323616: PERF_RECORD_FORK(14363:14363):(14362:14362)
python3 14048/14048 22973.319180: 
	          18d674 [unknown]
	 2b0235800220455 [unknown]

Pool Spawner 14363/14363 22973.319576: 
	ffffffff815e4fc2 do_wp_page
	ffffffff815eea80 handle_mm_fault
	ffffffff821f51c6 exc_page_fault
	ffffffff81000c82 asm_exc_page_fault
	          161b87 [unknown]

python3 14362/14362 22973.319836: 
	ffffffff816c95ea anon_pipe_write
	ffffffff816bba2a __x64_sys_write
	ffffffff821ef691 do_syscall_64
	ffffffff81000130 entry_SYSCALL_64_after_hwframe
`;

async function* lines() {
  yield* SCRIPT.split('\n');
}

test('each sample is of a process, and of a kind of work', async () => {
  const { samples } = await parseRecording(lines());
  expect(samples.map((sample) => [sample.pid, kindOf(sample)])).toEqual([
    [14048, 'outside the kernel'],
    [14363, 'page faults: copies of shared pages'],
    [14362, 'read, write, poll'],
  ]);
  expect(samples[1]?.name).toBe('Pool Spawner');
});

test('what has forked a program is its supervisor', async () => {
  const { parents } = await parseRecording(lines());
  expect([...rolesBelow(14048, parents)]).toEqual([
    [14048, 'runner'],
    [14362, 'supervisor'],
    [14363, 'program'],
  ]);
});

test('the end of a process counts as that, whatever the kernel frees', () => {
  const frames = ['unmap_page_range', 'exit_mmap', 'do_exit', 'do_syscall_64'];
  expect(kindOf({ pid: 1, name: '', frames: frames.map((symbol) => ({ isKernel: true, symbol })) })).toBe('exit');
});
