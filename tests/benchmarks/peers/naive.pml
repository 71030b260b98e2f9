/*
 * A bucket of sockets, and an iterator over it that keeps its place as `offset-udp` does, or with -DINDEX as `index`.
 *
 * As one writes it down first. Sockets have numbers, and a new one takes the lowest that is free. Sequences have at most
 * OPS lines: a change, the opening or a read is one, and a refused allocation one more. An operation is one step; what is
 * chosen in it is which socket leaves, how many records a read is for, and how many allocations are refused before one
 * is granted. Nothing comes after the end of an iteration, so that the read which says it leads nowhere.
 */
#ifndef SOCKETS
#define SOCKETS 6
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef OPS
#define OPS 10
#endif

byte bucket[SOCKETS];	/* from head to tail */
byte count;
byte present;		/* one bit for each socket, as in the next two */
byte owed;
byte delivered;
byte slots = SLOTS;
byte ops;
bool opened;
bool over;
#ifdef INDEX
byte idx[SOCKETS];	/* from 100, as a byte has no sign; 0 is below every one */
byte ver;
#endif
byte place;		/* the index of the last socket shown; or the count of sockets seen */

/* Zero between two operations. */
byte chosen, unseen, records, refused;

/* Of use inside one step only. */
hidden byte i, id, want;

inline enter(position, at_tail)
{
	id = 0;
	do
	:: present & (1 << id) -> id++
	:: else -> break
	od;
	i = count;
	do
	:: i > position -> bucket[i] = bucket[i - 1]; i--
	:: else -> break
	od;
	bucket[position] = id;
	present = present | (1 << id);
	count++;
#ifdef INDEX
	ver++;
	idx[id] = (at_tail -> 100 + ver : 100 - ver);
#endif
}

inline leave(position)
{
	id = bucket[position];
	i = position;
	do
	:: i + 1 < count -> bucket[i] = bucket[i + 1]; i++
	:: else -> break
	od;
	count--;
	bucket[count] = 0;
	present = present & ~(1 << id);
	owed = owed & ~(1 << id);
	delivered = delivered & ~(1 << id);
#ifdef INDEX
	idx[id] = 0;
#endif
}

inline count_unseen()
{
#ifdef INDEX
	i = count;
	do
	:: !over && i && idx[bucket[i - 1]] > place -> unseen++; i--
	:: else -> break
	od
#else
	unseen = (!over && count > place -> count - place : 0)
#endif
}

inline read()
{
	/* Between two allocations a batch is shown; one that is granted makes room for all that is left. */
	want = unseen - refused * slots;
	slots = (want > slots && records >= refused * slots -> want * 3 / 2 : slots);
	over = (records == unseen);
	i = count - unseen;
	do
	:: records ->
		id = bucket[i];
#ifdef NO_REPEAT
		assert(!(delivered & (1 << id)));
#endif
		delivered = delivered | (1 << id);
#ifdef INDEX
		place = idx[id];
#else
		place++;
#endif
		i++;
		records--
	:: else -> break
	od;
	refused = 0;
	unseen = 0
}

active proctype everything()
{
end:
	do
	:: d_step { ops < OPS && count < SOCKETS -> ops++; enter(0, false) }
	:: d_step { ops < OPS && count < SOCKETS -> ops++; enter(count, true) }
	:: atomic { ops < OPS && count ->
		do
		:: chosen + 1 < count -> chosen++
		:: break
		od;
		d_step { ops++; leave(chosen); chosen = 0 }
	   }
	:: d_step { ops < OPS && !opened -> ops++; opened = true; owed = present }
	:: atomic { ops < OPS && opened ->
		d_step {
			count_unseen();
			if
			:: unseen -> ops++; records = 1
			:: else
#ifdef NO_SKIP
				-> assert(!(owed & ~delivered))
#endif
			fi
		};
		do
		:: records < unseen -> records++
		:: break
		od;
		do
		:: ops < OPS && unseen > (refused + 1) * slots && records >= refused * slots -> ops++; refused++
		:: break
		od;
		if
		:: unseen -> d_step { read() }
		:: else
		fi
	   }
	od
}
