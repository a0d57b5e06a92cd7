import { briefing } from '../agent.js'
import { done, fail, type Outcome } from '../define.js'
import { type ProgramEnd, runProgram } from '../program.js'
import { endOf, storableText, storableValue } from '../text.js'
import { type Context, isAgent, patienceOf, selectorOf } from './params.js'
import { ambiguous, explainedFailure, readReply, replyDone } from './reply.js'

/** Room for an answer of 200,000 characters as JSON. */
const MAX_OUTPUT_BYTES = 2 * 1024 * 1024

/** Linux takes no single argument beyond 128 KiB. */
const MAX_ARGUMENT_BYTES = 120 * 1024

/** Asks an agent, or runs another subcommand, through the `openclaw` command line. */
export async function throughCli(context: Context): Promise<Outcome> {
  const { params, env, signal } = context
  const args = argumentsOf(context)
  if (typeof args === 'string') return fail(args)
  const deadline = AbortSignal.timeout(patienceOf(context))
  let end: ProgramEnd
  try {
    end = await runProgram({
      command: 'openclaw',
      args,
      cwd: params.cwd,
      env,
      signal: AbortSignal.any([signal, deadline]),
      maxBytes: MAX_OUTPUT_BYTES,
    })
  } catch (error) {
    if (deadline.aborted && !signal.aborted)
      return ambiguous(`no answer within ${patienceOf(context) / 1000} s`)
    if (isNotFound(error))
      return fail(
        `this worker cannot start openclaw: it is not in its PATH${params.cwd ? `, or there is no ${params.cwd}` : ''}`,
      )
    throw error
  }
  return isAgent(params.subcommand) ? answered(end) : ran(end)
}

/** The arguments, or why there can be none. */
function argumentsOf(context: Context): string[] | string {
  const { params, role, policy } = context
  const subcommand = params.subcommand.split(' ')
  if (!isAgent(params.subcommand)) return [...subcommand, ...(params.args ?? []), '--json']
  const message = [briefing(role, policy), params.message].filter(Boolean).join('\n\n')
  if (Buffer.byteLength(message) > MAX_ARGUMENT_BYTES) {
    return `the message is longer than a command line takes (${MAX_ARGUMENT_BYTES / 1024} KiB): send it through the gateway`
  }
  const seconds = Math.max(1, Math.floor(patienceOf(context) / 1050))
  const model = params.model ?? role?.model
  const common = [
    ...(model ? ['--model', model] : []),
    ...(params.thinking ? ['--thinking', params.thinking] : []),
    ...['--timeout', String(seconds), '--json'],
  ]
  if (params.subcommand === 'agent exec') {
    return [...subcommand, ...(params.cwd ? ['--cwd', params.cwd] : []), ...common, '--', message]
  }
  const selector = selectorOf(context)
  if (!selector)
    return 'params.agent: say whom to ask (agent, session_key, session_id or to), or name an agent in the step'
  const flag = `--${selector.name.replace('_', '-')}`
  return [
    ...subcommand,
    flag,
    selector.value,
    '--message',
    message,
    ...(params.local ? ['--local'] : []),
    ...common,
  ]
}

function answered(end: ProgramEnd): Outcome {
  const { exit_code, stdout } = end
  const meta = { via: 'cli', exit_code }
  const reply = readReply(stdout)
  if (!reply) return ambiguous(`openclaw said nothing that can be read (${ending(end)})`, { meta })
  const failed =
    exit_code !== 0 || reply.ok === false || (reply.status !== undefined && reply.status !== 'ok')
  return failed ? explainedFailure(reply, meta) : replyDone(reply, meta)
}

/** Any other subcommand: its answer as it is. Whether it may be repeated is not known here. */
function ran(end: ProgramEnd): Outcome {
  const { exit_code, stdout } = end
  const meta = { via: 'cli', exit_code }
  if (exit_code !== 0) return fail(ending(end), { meta })
  try {
    return done({ output: storableValue(JSON.parse(stdout)) }, { meta })
  } catch {
    return done({ output: storableText(stdout, 200_000) }, { meta })
  }
}

function ending({ exit_code, signal, stderr, stdout }: ProgramEnd): string {
  const words = endOf(stderr || stdout, 500)
  const how = exit_code === null ? `ended by ${signal}` : `exit code ${exit_code}`
  return words ? `${how}: ${words}` : how
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
