import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import { OpsError } from '../engine/index.js'

/** Where a secret would stand if someone logged a request or an environment by mistake. */
const REDACTED = ['authorization', 'headers', 'env', 'secret', 'password', 'token', 'key'].flatMap((name) => [
  name,
  `*.${name}`,
])

/** What the project throws on purpose says what is wrong; where it was thrown is worth its lines for those who look for a defect. */
function toldError(error: unknown, isDebugging: boolean): unknown {
  if (!(error instanceof OpsError) || isDebugging) {
    return error instanceof Error ? pino.stdSerializers.err(error) : error
  }
  const { code, message, hint } = error
  return { code, message, ...(hint && { hint }) }
}

/**
 * The control plane's log: one JSON object a line, on stderr so that stdout stays for answers.
 *
 * @param level `LOG_LEVEL`: trace, debug, info, warn, error or silent. From debug on, errors that were foreseen come with their stacks too
 */
export function createLog(level = 'info', destination: DestinationStream = pino.destination(2)): Logger {
  const options: LoggerOptions = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: REDACTED,
    serializers: { err: (error) => toldError(error, level === 'debug' || level === 'trace') },
  }
  return pino(options, destination)
}
