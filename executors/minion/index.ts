import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import {
  defineExecutor,
  describeError,
  done,
  type ExecutorContext,
  fail,
  type Outcome,
  retry,
} from '../define.js'
import { type ProgramEnd, runProgram } from '../program.js'
import { endOf } from '../text.js'
import { findProgram } from './find-program.js'

/** Bytes of each output that are kept: both together fit into a result even where every character has to be escaped. */
const MAX_OUTPUT_BYTES = 64 * 1024

const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\0]*$/, 'must not hold NUL')
const absolutePath = () => text(4096).refine(isAbsolute, 'must be an absolute path')

const params = z.strictObject({
  command: absolutePath().describe('The program, as policy `worker_policy.allowed_commands` names it.'),
  args: z
    .array(text(32_768))
    .max(1000)
    .default([])
    .describe('Its arguments, each as it is: there is no shell.'),
  cwd: absolutePath()
    .optional()
    .describe('The folder to run it in. Absent: an empty one, which is removed afterwards.'),
  stdin: z.string().max(1_000_000).optional().describe('What it reads from its standard input.'),
})

type Params = z.output<typeof params>

/** Runs one program that policy allows. */
export default defineExecutor({
  kind: 'minion',
  params,
  async run(context) {
    const found = await findProgram(context.params.command, context.policy.allowed_commands)
    if (!found.ok) return fail(found.problem, { meta: { code: 'OPS_012' } })
    const folder = await mkdtemp(join(tmpdir(), 'ops-loop-minion-'))
    try {
      return await run(context, found.path, folder)
    } finally {
      // What the program did counts, whether or not it left something that only others may remove.
      await rm(folder, { recursive: true, force: true }).catch((error: unknown) =>
        context.log.warn(`what ${context.params.command} left cannot be removed: ${describeError(error)}`),
      )
    }
  },
})

async function run(
  { params, step, attempt, signal }: ExecutorContext<Params>,
  path: string,
  folder: string,
): Promise<Outcome> {
  const { command, args, cwd = folder, stdin } = params
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LANG: 'C.UTF-8',
    HOME: folder,
    TMPDIR: folder,
    OPS_STEP_ID: step.step_id,
    OPS_MISSION_ID: step.mission_id,
    OPS_ATTEMPT: String(attempt),
  }
  try {
    // The file that was checked is run, under the name that was asked for.
    const end = await runProgram({
      command: path,
      name: command,
      args,
      cwd,
      env,
      stdin,
      signal,
      maxBytes: MAX_OUTPUT_BYTES,
    })
    return outcomeOf(end)
  } catch (error) {
    if (signal.aborted) throw error
    if (isMissing(error)) return fail(`${command} cannot be run in ${cwd}: ${error.code}`)
    throw error
  }
}

function outcomeOf(end: ProgramEnd): Outcome {
  const { exit_code, signal, stdout, stderr, truncated } = end
  if (exit_code === 0)
    return done({ exit_code, stdout, stderr, ...(truncated && { truncated }) }, { meta: { exit_code } })
  const ending = exit_code === null ? `ended by ${signal}` : `exit code ${exit_code}`
  const lastWords = endOf((stderr || stdout).trim().split('\n').slice(-3).join(' '), 500)
  return retry({ error: lastWords ? `${ending}: ${lastWords}` : ending, meta: { exit_code, signal } })
}

const NOT_RUNNABLE = new Set(['ENOENT', 'EACCES', 'ENOEXEC', 'ENOTDIR'])

/** No such program or folder, no right to run it, nothing that can be run: it will be the same next time. */
function isMissing(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && NOT_RUNNABLE.has(String(error.code))
}
