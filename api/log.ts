import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'

/** Where a secret would stand if someone logged a request or an environment by mistake. */
const REDACTED = ['authorization', 'headers', 'env', 'secret', 'password', 'token', 'key'].flatMap((name) => [
  name,
  `*.${name}`,
])

/**
 * The control plane's log: one JSON object a line, on stderr so that stdout stays for answers.
 *
 * @param level `LOG_LEVEL`: trace, debug, info, warn, error or silent
 */
export function createLog(level = 'info', destination: DestinationStream = pino.destination(2)): Logger {
  const options: LoggerOptions = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: REDACTED,
  }
  return pino(options, destination)
}
