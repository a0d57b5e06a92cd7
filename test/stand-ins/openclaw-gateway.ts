import { type Received, serve, type TestServer } from '../../channels/testing.js'

export interface Gateway extends TestServer {
  /** Tasks that were admitted, once each: the gateway knows a repetition by its Idempotency-Key. */
  admitted: string[]
}

export const GATEWAY_TOKEN = 'gateway-token-1'
export const HOOKS_TOKEN = 'hooks-token-22'

/**
 * Stands in for OpenClaw's gateway: `POST /v1/chat/completions` waits for the agent, `POST /hooks/agent` admits a task. What it
 * shall do is the task's first word.
 */
export async function openclawGateway(): Promise<Gateway> {
  const admitted: string[] = []
  const runs = new Map<string, string>()
  const server = await serve((request, response) => {
    const json = (status: number, body: object, headers: Record<string, string> = {}) =>
      void response
        .writeHead(status, { 'content-type': 'application/json', ...headers })
        .end(JSON.stringify(body))
    const isHook = request.path === '/hooks/agent'
    if (!isHook && request.path !== '/v1/chat/completions')
      return json(404, { error: { message: 'Not Found' } })
    if (request.headers.authorization !== `Bearer ${isHook ? HOOKS_TOKEN : GATEWAY_TOKEN}`) {
      return json(401, { error: { message: 'Unauthorized', type: 'unauthorized' } })
    }
    const task = taskOf(request, isHook)
    switch (task.split(/\s/).at(0)) {
      case 'limit':
        return json(429, { error: { message: 'slow down', type: 'rate_limited' } }, { 'retry-after': '17' })
      case 'invalid':
        return json(400, { error: { message: 'no such agent', type: 'invalid_request_error' } })
      case 'full':
        return json(503, { error: { message: 'starting', type: 'unavailable' } })
      case 'proxy':
        return void response.writeHead(504, { 'content-type': 'text/html' }).end('<h1>Gateway Timeout</h1>')
      case 'hang':
        return
    }
    if (isHook) {
      const key = String(request.headers['idempotency-key'] ?? '')
      const run = runs.get(key) ?? `run-${runs.size + 1}`
      if (!runs.has(key)) admitted.push(task)
      runs.set(key, run)
      // The first answer gets lost, as connections get lost; by then the task has been admitted.
      if (task.startsWith('lose') && server.received.length === 1) return void response.destroy()
      return json(200, { ok: true, runId: run })
    }
    if (task.startsWith('lose')) return void response.destroy()
    return json(200, {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      model: JSON.parse(request.body).model,
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: task === 'ramble' ? `\0${'😀'.repeat(150_000)}` : `did: ${task}`,
          },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 200, completion_tokens: 40, total_tokens: 240, cost: 0.01 },
    })
  })
  return Object.assign(server, { admitted })
}

function taskOf({ body }: Received, isHook: boolean): string {
  const parsed = JSON.parse(body)
  const text: string = isHook ? parsed.message : parsed.messages.at(-1).content
  return text.split('\n\n').at(-1) ?? ''
}
