import { OpsError } from '../engine/errors.js'

/** The embedded stack cannot start or go on. `message` says what is wrong, `hint` what to do about it. */
export function stackError(message: string, options: { hint: string; cause?: unknown }): OpsError {
  return new OpsError('OPS_001', message, options)
}

/** True for the errors of Node's system calls, optionally with one given code such as `ENOENT`. */
export function isSystemError(error: unknown, code?: string): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && (code === undefined || error.code === code)
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
