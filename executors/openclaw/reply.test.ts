import { describe, expect, it } from 'vitest'
import { readReply, replyDone } from './reply.js'

const outcomeOf = (text: string) => {
  const reply = readReply(text)
  if (!reply) throw new Error('it was not read')
  return replyDone(reply, {})
}

describe('a reply', () => {
  it.each(['1e999', '-1', '"much"', 'null'])(
    'whose cost is %s counts as done, at no cost that is known',
    (cost) => {
      const outcome = outcomeOf(
        `{"final": "did it", "costUsd": ${cost}, "usage": {"total_tokens": ${cost}, "cost": ${cost}}}`,
      )
      expect(outcome).toMatchObject({ outcome: 'done', result: { text: 'did it' }, cost_usd: undefined })
      expect(outcome).toMatchObject({ result: { usage: { total_tokens: undefined } } })
    },
  )

  it('whose cost stands in two places costs what can be read', () => {
    const text = '{"final": "did it", "costUsd": 1e999, "result": {"meta": {"agentMeta": {"costUsd": 0.25}}}}'
    expect(outcomeOf(text)).toMatchObject({ cost_usd: 0.25 })
  })
})
