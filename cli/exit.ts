/** What the process's exit code says; every command keeps to it. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const
