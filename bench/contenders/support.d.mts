export function untilDone(isHandled: () => boolean, isRecorded: () => Promise<boolean>): Promise<void>
export function paced(samples: number, pauseMs: number, sample: () => Promise<number>): Promise<number[]>
