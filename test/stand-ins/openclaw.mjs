#!/usr/bin/env node
// Stands in for the `openclaw` command line: its flags, its JSON, its exit codes. What it shall do is the task's first word.
import { appendFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const OPTIONS = {
  agent: { type: 'string' },
  'session-id': { type: 'string' },
  'session-key': { type: 'string' },
  to: { type: 'string' },
  message: { type: 'string' },
  model: { type: 'string' },
  thinking: { type: 'string' },
  timeout: { type: 'string' },
  cwd: { type: 'string' },
  local: { type: 'boolean' },
  json: { type: 'boolean' },
}

const argv = process.argv.slice(2)
const log = process.env.OPENCLAW_STATE_DIR
if (log)
  appendFileSync(
    `${log}/calls`,
    `${JSON.stringify({ argv, env: Object.keys(process.env).sort(), pid: process.pid })}\n`,
  )

function answer(code, reply) {
  process.stdout.write(`${JSON.stringify(reply)}\n`)
  process.exitCode = code
}

function usage(message) {
  process.stderr.write(`error: ${message}\n`)
  process.exit(1)
}

const failing = (type, message, more = {}) => answer(1, { ok: false, error: { type, message, ...more } })

function behave(task, succeed) {
  switch (task.split(/[\s:]/).at(0)) {
    case 'lose':
      return failing('gateway_transport_lost', 'socket closed before the final frame')
    case 'unreachable':
      return failing('gateway_unreachable', 'connect ECONNREFUSED 127.0.0.1:18789')
    case 'limit':
      return failing('rate_limited', 'too many requests', { retryAfterSeconds: 42 })
    case 'invalid':
      return failing('invalid_request', 'unknown agent id')
    case 'stumble':
      return failing('model_error', 'the provider said 500')
    case 'slow':
      return answer(1, {
        ok: false,
        status: 'timeout',
        error: { type: 'timeout', message: 'agent run timed out' },
      })
    case 'babble':
      return process.stdout.write('Segmentation fault\n')
    case 'die':
      return process.kill(process.pid, 'SIGKILL')
    case 'hang':
      return setInterval(() => undefined, 1000)
    case 'leak':
      return answer(0, succeed(`the token is ${process.env.OPENCLAW_GATEWAY_TOKEN}`))
    default:
      return answer(0, succeed(`did: ${task}`))
  }
}

function agent(rest) {
  const { values } = parseArgs({ args: rest, options: OPTIONS })
  const selectors = ['agent', 'session-id', 'session-key', 'to'].filter((name) => values[name] !== undefined)
  if (selectors.length !== 1) usage('pass exactly one of --to, --session-key, --session-id, --agent')
  if (values.message === undefined) usage("required option '--message <text>' not specified")
  const task = values.message.split('\n\n').at(-1)
  behave(task, (text) => ({
    runId: 'run-1',
    status: 'ok',
    summary: 'completed',
    result: {
      payloads: [{ text, mediaUrl: null }],
      meta: {
        durationMs: 12,
        agentMeta: {
          sessionId: 'session-1',
          provider: 'anthropic',
          model: values.model ?? 'default-model',
          usage: { input: 120, output: 30, total: 150 },
          costUsd: 0.0042,
        },
      },
    },
  }))
}

function exec(rest) {
  const { values, positionals } = parseArgs({ args: rest, options: OPTIONS, allowPositionals: true })
  if (positionals.length !== 1) usage('missing required argument: prompt')
  const task = positionals[0].split('\n\n').at(-1)
  if (task === 'late') {
    process.exitCode = 2
    return process.stdout.write(JSON.stringify({ ok: false, status: 'timeout', final: null, payloads: [] }))
  }
  behave(task, (text) => ({
    ok: true,
    status: 'ok',
    final: `${text} in ${values.cwd}`,
    payloads: [{ text }],
    usage: { input: 10, output: 5 },
    costUsd: 0.001,
    sessionId: 'exec-1',
  }))
}

if (argv[0] === 'agent' && argv[1] === 'exec') exec(argv.slice(2))
else if (argv[0] === 'agent') agent(argv.slice(1))
else if (argv[0] === 'sessions' && argv[1] === 'odd') process.stdout.write('{"name":"a\\u0000b"}')
else if (argv[0] === 'sessions') answer(0, { sessions: [], args: argv.slice(1) })
else usage(`unknown command '${argv[0]}'`)
