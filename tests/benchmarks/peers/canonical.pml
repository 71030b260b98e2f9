/*
 * The same as naive.pml, for sequences of any length: nobody has a number, and a socket is what it is at its position.
 *
 * What the property still needs to know of a socket is whether it is owed, or was delivered, or neither. The remembered
 * index becomes the number of sockets that are not above it; slots beyond what the table can hold are as good as none;
 * once the walk is over, all that matters is what is owed. With -DONE only one socket is followed, any of them.
 */
#ifndef SOCKETS
#define SOCKETS 6
#endif
#ifndef SLOTS
#define SLOTS 2
#endif

byte count;
int owed;		/* one bit for each position from the head, as in the next one */
int delivered;
byte place;		/* with -DINDEX: of sockets up to the last one shown; else the count of sockets seen */
byte slots = SLOTS;
bool opened;
bool over;
#ifdef INDEX
bool started;		/* something was shown */
#endif
#ifdef ONE
int followed;		/* its bit, or none */
#endif

/* Of use inside one operation only. */
byte batch, chosen;
bool some;

#define BELOW(position) ((1 << (position)) - 1)

inline without(mask, position)
{
	mask = (mask & BELOW(position)) | (mask >> (position + 1) << position)
}

inline enter_at_head()
{
	count++;
	owed = owed << 1;
	delivered = delivered << 1;
#ifdef ONE
	followed = followed << 1;
#endif
#ifdef INDEX
	place = place + started
#endif
}

inline leave(position)
{
	count--;
	without(owed, position);
	without(delivered, position);
#ifdef ONE
	without(followed, position);
#endif
#ifdef INDEX
	place = place - (position < place)
#endif
}

inline take_a_batch()
{
	batch = (count - place < slots -> count - place : slots)
}

inline grow()
{
	slots = batch * 3 / 2;
	slots = (slots < SOCKETS -> slots : SOCKETS)
}

inline deliver()
{
#ifdef NO_REPEAT
	assert(!(delivered & (1 << place)));
#endif
	owed = owed & ~(1 << place);
#ifdef ONE
	delivered = delivered | (followed & (1 << place));
#else
	delivered = delivered | (1 << place);
#endif
#ifdef INDEX
	started = true;
#endif
	place++;
	batch--;
	some = true
}

inline the_walk_is_over()
{
	over = true;
	slots = 0;
	place = 0;
	delivered = 0;
#ifdef ONE
	followed = 0;	/* where it is owed, that is known of it */
#endif
#ifdef INDEX
	started = false;
#endif
	skip
}

active proctype everything()
{
end:
	do
	:: d_step { count < SOCKETS -> enter_at_head() }
	:: d_step { count < SOCKETS -> count++ }
	:: atomic { count ->
		do
		:: chosen + 1 < count -> chosen++
		:: break
		od;
		d_step { leave(chosen); chosen = 0 }
	   }
#ifdef ONE
	:: atomic { !opened ->
		opened = true;
		do
		:: chosen < count -> chosen++
		:: break
		od;
		d_step { followed = 1 << chosen >> 1; owed = followed; chosen = 0 }
	   }
	:: d_step { opened && !over && !followed && count < SOCKETS -> enter_at_head(); followed = 1 }
	:: d_step { opened && !over && !followed && count < SOCKETS -> followed = 1 << count; count++ }
#else
	:: d_step { !opened -> opened = true; owed = BELOW(count) }
#endif
	:: atomic { opened && !over ->
		do
		:: batch -> d_step { deliver() }
		:: batch && some -> batch = 0; break	/* the next one is not shown: the record does not fit */
		:: !batch && count <= place -> the_walk_is_over(); break
		:: !batch && count > place ->
			d_step { take_a_batch() };
			if
			:: count - place > batch ->
				d_step { batch = count - place; grow() }
			:: true	/* refused, if it was wanted at all */
			fi
		od;
		some = false
	   }
#ifdef NO_SKIP
	:: d_step { over -> assert(!owed) }
#endif
	od
}
