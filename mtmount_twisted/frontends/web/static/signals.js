// The signals that the page reads from the event stream, all the time.
//
// Values only. A daemon whose mount sends no telemetry accepts the names, and sends nothing for them.

const AXES = ["azimuth", "elevation"];
const OF_AN_AXIS = ["actualPosition", "actualVelocity", "actualTorque"];

// The signals of the plots of an axis.
export const signalsOf = (axis) => [...OF_AN_AXIS.map((quantity) => `${axis}.${quantity}`), `motion.${axis}.errorSky`];

// The temperatures and the voltage of the devices.
const DEVICES = [
  "mainPowerSupply.powerSupplyVoltage",
  "oilSupplySystem.oilTemperatureFacilities5001",
  "topEndChiller.actualTemperatureAmbient",
  "mainCabinetThermal.mainCabinetInternalTemperature1",
  "mainCabinetThermal.setpointTemperature",
];

const RATE = 4; // Hz

export const EVENTS = `api/v1/events?signals=${["summary", ...AXES.flatMap(signalsOf), ...DEVICES].join(",")}&rate=${RATE}`;
