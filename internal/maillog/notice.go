package maillog

import "time"

// Field is a name and a value beside a message's words.
type Field struct{ Name, Value string }

// Notice writes a message that programs can match: it has the name of an event, from a closed list
// of the caller's, and fields. As text it begins "event=NAME field=value ...: words"; in JSON they
// are members of the line, beside time, level and msg. The level is "info" or "error".
func (l *Log) Notice(level, event string, fields []Field, words string) {
	if l.lines == nil {
		return
	}
	fields = append([]Field{{"event", event}}, fields...)
	form := l.form.Load()
	if form.json {
		l.lines.append(form.jsonEvent("", level, fields, words))
		return
	}
	b := form.begin(nil, time.Time{}, "", level)
	if level == "error" {
		b = append(b, "error: "...)
	}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, f.Name...), '=')
		b = appendClean(b, f.Value, maxAddress)
	}
	l.lines.append(form.end(appendClean(append(b, ": "...), words, maxMessage)))
}

// Part writes a line of a part of the server, under its name. In JSON the fields are members of the
// line; the words have them already.
func (l *Log) Part(component string, fields []Field, words string) {
	if l.lines == nil {
		return
	}
	form := l.form.Load()
	if form.json {
		l.lines.append(form.jsonEvent(component, "info", fields, words))
		return
	}
	b := form.begin(nil, time.Time{}, component, "info")
	l.lines.append(form.end(appendClean(b, words, maxMessage)))
}

// jsonEvent puts the fields before msg, where begin leaves the line.
func (f *form) jsonEvent(component, level string, fields []Field, words string) []byte {
	b := f.begin(nil, time.Time{}, component, level)
	for _, m := range fields {
		b = append(appendJSON(append(appendJSON(b, m.Name, maxAddress), ':'), m.Value, maxAddress),
			',')
	}
	b = append(b, `"msg":`...)
	return append(appendJSON(b, words, maxMessage), "}\n"...)
}
