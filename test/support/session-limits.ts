/** Limits of sessions for tests that have no engine. Each test changes what it is about. */
export const SESSION_LIMITS = {
  ...{ maxSessions: 100, maxSessionsPerOwner: 10, maxHibernatedPerOwner: 100, concurrency: 4, diskMb: 1, archiveMb: 1 },
  ...{ idleTtlS: 60, maxLifetimeS: 60, hibernateAfterS: 30, archiveTtlS: 60, checkpointAfterS: 0 },
  ...{ execTimeoutS: 30, maxTimeoutS: 300, memoryMb: 256, tmpMb: 1, shmMb: 1, largestFileMb: 1, pids: 64 },
  ...{ outputLimit: 1000, outputKeepLimit: 1000, resultLimit: 1000, installTimeoutS: 60 },
  ...{ terminals: 4, terminalIdleS: 60 },
};
