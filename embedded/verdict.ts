export type Tone = 'good' | 'bad' | 'attention' | 'plain'

/**
 * What the gate, or a person, said about a proposal: in a word or two.
 *
 * @param code of the proposal: tells the ways of being rejected apart
 */
export function verdictOf(status: string, code: unknown): { word: string; tone: Tone } {
  switch (status) {
    case 'auto_approved':
      return { word: 'auto-approved', tone: 'good' }
    case 'pending':
      return { word: 'waiting for approval', tone: 'attention' }
    case 'approved':
      return { word: 'approved', tone: 'good' }
    case 'rejected':
      return rejectionOf(String(code))
    default:
      return { word: status, tone: 'attention' }
  }
}

function rejectionOf(code: string): { word: string; tone: Tone } {
  if (code.startsWith('cap_') || code === 'budget') return { word: 'capped', tone: 'bad' }
  if (code === 'depth' || code === 'missions_per_root_event') return { word: 'loop guard', tone: 'bad' }
  return { word: 'rejected', tone: 'attention' }
}
